SELECT advisors.id, given_name, family_name, email, office,
    ARRAY(SELECT department FROM advises JOIN departments ON departments.id = department
        WHERE advisor = advisors.id ORDER BY departments.folded_name, department) AS department_ids,
    ARRAY(SELECT name FROM advises JOIN departments ON departments.id = department
        WHERE advisor = advisors.id ORDER BY departments.folded_name, department) AS department_names,
    folded_name
FROM advisors
ORDER BY folded_name, id
LIMIT 51
